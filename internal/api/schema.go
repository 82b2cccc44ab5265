package api

import (
	"path"
	"reflect"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
)

// newSchemas holds the kinds of objects that the document describes. Answers show values of other rooms, too, and two rooms may give the same name to different
// things: the second of them gets the name of its room in front.
func newSchemas() huma.Registry {
	taken := map[string]reflect.Type{}
	return huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		name := huma.DefaultSchemaNamer(t, hint)
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t.Name() == "" {
			return name
		}
		if first := taken[name]; first != nil && first != t {
			name = roomOf(t) + name
		}
		taken[name] = t
		return name
	})
}

// roomOf is the room of a type, as a name begins.
func roomOf(t reflect.Type) string {
	room := []rune(strings.TrimSpace(path.Base(t.PkgPath())))
	if len(room) == 0 {
		return ""
	}
	room[0] = unicode.ToUpper(room[0])
	return string(room)
}
