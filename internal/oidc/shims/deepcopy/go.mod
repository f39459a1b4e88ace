module github.com/mohae/deepcopy

go 1.26
