// Package retryablehttp is how fosite would fetch a jwks_uri or a request_uri. No client here has one, and Portvakt calls nobody
// whom a request names.
package retryablehttp

import (
	"context"
	"net/http"
)

const notLinked = "go-retryablehttp is not linked: internal/oidc/shims"

type (
	Client  struct{}
	Request struct{}
)

func NewClient() *Client                               { panic(notLinked) }
func (*Client) Get(string) (*http.Response, error)     { panic(notLinked) }
func (*Client) Do(*Request) (*http.Response, error)    { panic(notLinked) }
func NewRequest(string, string, any) (*Request, error) { panic(notLinked) }
func (*Request) WithContext(context.Context) *Request  { panic(notLinked) }
