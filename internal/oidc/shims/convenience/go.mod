module github.com/ory/go-convenience

go 1.26
