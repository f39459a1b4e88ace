package main

import (
	"io"
	"net/http"
)

// serveHello is the yardstick: what net/http alone answers on this machine with this load. It returns on failure.
func serveHello(listen string) error {
	return http.ListenAndServe(listen, hello())
}

func hello() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})
}
