package dns

import (
	"context"
	"time"
)

// Cached reports whether r would answer the question from its cache at this moment, so that no server would be asked. A Resolver that is
// neither a Client nor made by WithBudget of one has no cache.
func Cached(r Resolver, name string, typ Type) bool {
	switch r := r.(type) {
	case *Client:
		name, ok := normal(name)
		if !ok || r.cache == nil {
			return false
		}
		_, ok = r.cache.get(key{name, typ}, time.Now())
		return ok
	case *budget:
		return Cached(r.next, name, typ)
	}
	return false
}

type privateKey struct{}

// Private is ctx for a question whose name holds a secret, as the zones of blocklists with a key do: a Client does not write such a name to
// its log. The errors of the answer still name it; the caller keeps them to himself.
func Private(ctx context.Context) context.Context {
	return context.WithValue(ctx, privateKey{}, true)
}

// shown is a name as the log may hold it.
func shown(ctx context.Context, name string) string {
	if private, _ := ctx.Value(privateKey{}).(bool); private {
		return "(private)"
	}
	return name
}
