// Command mockgen is named by fosite's tools.go, which go mod tidy reads; nothing is generated here.
package main

func main() {}
