package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/user"
)

// access is what an operation asks of whoever calls it, and what is written down of it. The zero access is refused by New.
type access struct {
	right   user.Right
	gateway bool   // over the gateway as a whole; else over one customer
	act     string // its word in the audit log; "": it changes nothing
	secret  bool   // the answer holds a secret that is shown once, so it is never kept
	again   bool   // doing it twice is the same as doing it once
	body    int64  // most bytes of a request; 0: maxBody
}

// over asks for a right over the customer whom the request is about. The input must be scoped or owned: New refuses it otherwise.
func over(r user.Right) access { return access{right: r} }

// gateway asks for a right over what all customers share.
func gateway(r user.Right) access { return access{right: r, gateway: true} }

// as names an act for the audit log.
func (a access) as(act string) access {
	a.act = act
	return a
}

// once marks answers that hold a secret.
func (a access) once() access {
	a.secret = true
	return a
}

// anew marks acts that may be done twice without harm.
func (a access) anew() access {
	a.again = true
	return a
}

// upTo lets requests be longer than others.
func (a access) upTo(bytes int64) access {
	a.body = bytes
	return a
}

// scoped is the input of an operation about one customer, or about all of them: whom it names is narrowed to the principal's own customer
// before the operation sees it.
type scoped interface {
	scope() *string // where the input says which customer; "": all of them
}

// owned is the input of an operation about one thing. Principals of customers reach their own things only; what is another's is answered
// like what is not there.
type owned interface {
	// owner returns the customer to whom it belongs, "" the gateway. found is false when there is no such thing.
	owner(ctx context.Context, s *server) (customer string, found bool, err error)
	// kind is the word of the problem when it is not there.
	kind() string
}

// operation is one registered endpoint.
type operation struct {
	access
	*huma.Operation
	group   string
	sample  sample
	problem error // why it may not be registered
}

// call is one request on its way, in the request's context.
type call struct {
	who    user.Principal
	op     *operation
	entry  user.Entry // for the audit log
	before bool       // it is a repetition: its act was written down then
	seed   string     // the same for each repetition of a request with an Idempotency-Key; "": it has none
	w      http.ResponseWriter
	r      *http.Request
}

type callKey struct{}

// callOf returns the request under way. Without one, nobody asks.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// principal is who asks.
func principal(ctx context.Context) user.Principal { return callOf(ctx).who }

// actor is the author of an act as the journal writes it.
func actor(ctx context.Context) string { return callOf(ctx).who.Actor() }

// about names what an act is done to, for the audit log. Without it that is what the path names.
func about(ctx context.Context, subject, text string) {
	c := callOf(ctx)
	c.entry.Subject, c.entry.Text = subject, text
}

// add registers one endpoint.
func add[I, O any](s *server, method, path, id, summary string, a access, act func(context.Context, *I) (*O, error)) {
	op := &operation{access: a, group: s.group, problem: fits[I](a, method, id)}
	errs := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests}
	if strings.Contains(path, "{") || !a.gateway {
		errs = append(errs, http.StatusNotFound)
	}
	if method != http.MethodGet {
		errs = append(errs, http.StatusConflict)
	}
	slices.Sort(errs)
	if op.body == 0 {
		op.body = maxBody
	}
	what := huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: http.StatusOK, Tags: []string{s.group},
		Description:  describe(a),
		MaxBodyBytes: op.body, Errors: errs, RejectUnknownQueryParameters: true,
		Security:   []map[string][]string{{"token": {string(a.right)}}},
		Extensions: map[string]any{"x-right": a.right, "x-over": a.over()}}
	if a.act != "" {
		what.Extensions["x-act"] = a.act
	}
	what.Parameters = []*huma.Param{{Ref: languageRef}}
	op.Operation = &what
	s.operations[method+" "+path] = op
	s.order = append(s.order, op)
	huma.Register(s.api, what, func(ctx context.Context, in *I) (*O, error) {
		out, err := s.guarded(ctx, op, in, func() (any, error) { return act(ctx, in) })
		if err != nil {
			return nil, err
		}
		return out.(*O), nil
	})
}

// over says over whom an operation asks its right.
func (a access) over() string {
	if a.gateway {
		return "gateway"
	}
	return "customer"
}

// describe says in the document what an operation asks.
func describe(a access) string {
	text := "Needs the right `" + string(a.right) + "`"
	if a.gateway {
		text += " over the gateway."
	} else {
		text += " over the customer."
	}
	if a.secret {
		text += " The answer holds a secret and is shown once."
	}
	return text
}

// fits checks that an operation says what it asks, and that its input can be held against it.
func fits[I any](a access, method, id string) error {
	in := any(new(I))
	_, isScoped := in.(scoped)
	_, isOwned := in.(owned)
	switch {
	case !slices.Contains(user.Rights(), a.right):
		return fmt.Errorf("operation %s: no right is declared", id)
	case !a.gateway && !isScoped && !isOwned:
		return fmt.Errorf("operation %s: is about a customer, but its input does not say which", id)
	case unread(reflect.TypeFor[I]()) != "":
		return fmt.Errorf("operation %s: nothing reads the fields of %s, which is embedded and not exported", id, unread(reflect.TypeFor[I]()))
	case (method == http.MethodPut || method == http.MethodDelete) && a.act == "":
		return fmt.Errorf("operation %s: has no word for the audit log", id)
	}
	return nil
}

// unread is a part of an input whose fields the library passes by: an embedded struct that is not exported.
func unread(t reflect.Type) string {
	if t.Kind() != reflect.Struct {
		return ""
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && !f.IsExported() {
			return f.Name
		}
	}
	return ""
}

// guarded holds a request against what its operation asks, then does it. That the principal has the right at all was checked before.
func (s *server) guarded(ctx context.Context, op *operation, in any, act func() (any, error)) (any, error) {
	c := callOf(ctx)
	if c.op != op {
		return nil, problem(http.StatusForbidden, "no-right", "the request reached an operation that it was not meant for")
	}
	err := s.admit(ctx, c, in)
	var out any
	if err == nil {
		out, err = act()
	}
	if err != nil {
		c.failed(err)
		return nil, err
	}
	c.linkNext(out)
	return out, nil
}

// admit narrows the request to what the principal may reach.
func (s *server) admit(ctx context.Context, c *call, in any) error {
	own := !c.who.Gateway()
	if x, ok := in.(scoped); ok {
		switch id := x.scope(); {
		case own && *id == "":
			*id = c.who.Customer
		case own && *id != c.who.Customer:
			return s.noCustomer(*id)
		}
		c.entry.Customer = *x.scope()
	}
	x, ok := in.(owned)
	if !ok || !own && c.op.act == "" {
		return nil
	}
	customer, found, err := x.owner(ctx, s)
	switch {
	case err != nil && own:
		return s.fail(err)
	case own && (!found || customer != c.who.Customer):
		return missing(x.kind())
	case found:
		c.entry.Customer = customer
	}
	return nil
}

// missing answers a customer's principal that a thing is not there, or is somebody else's: the answer is the same.
func missing(kind string) error {
	text := say("there is no such thing")
	switch kind {
	case "no-such-message":
		text = say("no message of yours has this queue ID; search with /v1/trace")
	case "no-such-customer":
		text = say("there is no such customer; a token of a customer reaches its own only")
	case "no-such-user":
		text = say("there is no such user of yours; /v1/users lists them")
	case "not-found":
		text = say("you have nothing under this name; the list tells what there is")
	}
	return because(http.StatusNotFound, kind, text)
}

// failed notes the word of a problem for the audit log.
func (c *call) failed(err error) {
	var p *huma.ErrorModel
	if errors.As(err, &p) {
		c.entry.Text = strings.TrimPrefix(p.Type, problemType)
	}
}
