package api

import (
	"context"
	"net/http"
	"net/url"
)

// Sessions lists where a user is signed in.
func (c *Client) Sessions(ctx context.Context, user string) ([]Session, error) {
	out, err := get[Sessions](ctx, c, "/v1/users/"+url.PathEscape(user)+"/sessions", nil)
	return out.Sessions, err
}

// EndSession signs a user out in one browser.
func (c *Client) EndSession(ctx context.Context, user, session string) (Done, error) {
	return send[Done](ctx, c, http.MethodDelete, "/v1/users/"+url.PathEscape(user)+"/sessions/"+url.PathEscape(session), nil)
}

// Tokens lists the tokens of a customer, "" those of the gateway.
func (c *Client) Tokens(ctx context.Context, customer string) ([]Token, error) {
	return pages(ctx, c, "/v1/tokens", values("customer", customer), func(p Tokens) ([]Token, string) { return p.Tokens, p.Next })
}

// RevokeToken ends a token of a customer, "" of the gateway.
func (c *Client) RevokeToken(ctx context.Context, customer, id string) (Done, error) {
	path := "/v1/tokens/" + url.PathEscape(id)
	if customer != "" {
		path += "?" + url.Values{"customer": {customer}}.Encode()
	}
	return send[Done](ctx, c, http.MethodDelete, path, nil)
}
