package store

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// kind is what a column holds.
type kind uint8

const (
	kindNull kind = iota
	kindInt
	kindFloat
	kindText
	kindBlob
)

// value is one column of a row, the same for both engines. raw belongs to the engine and is valid until the next row.
type value struct {
	kind  kind
	int   int64
	float float64
	raw   []byte
}

// argument turns what a room passed into one of nil, int64, float64, string and []byte.
func argument(arg any) (any, error) {
	switch a := arg.(type) {
	case nil, int64, float64:
		return arg, nil
	case int:
		return int64(a), nil
	case string:
		if clean := cleanText(a); clean != a {
			return clean, nil
		}
		return arg, nil // as it came: another value of type any would cost an allocation
	case []byte:
		if a == nil {
			return []byte{}, nil
		}
		return arg, nil
	case bool:
		return boolInt(a), nil
	case time.Time:
		return timeInt(a), nil
	}
	v := reflect.ValueOf(arg)
	switch v.Kind() {
	case reflect.String:
		return cleanText(v.String()), nil
	case reflect.Bool:
		return boolInt(v.Bool()), nil
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		return v.Int(), nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		if u := v.Uint(); u <= math.MaxInt64 {
			return int64(u), nil
		}
	case reflect.Float32:
		return v.Float(), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return argument(v.Bytes())
		}
	}
	return nil, fmt.Errorf("argument of type %T cannot be stored (want string, []byte, integer, float64, bool, time.Time, nil)", arg)
}

func arguments(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, a := range args {
		v, err := argument(a)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		out[i] = v
	}
	return out, nil
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// timeInt is the stored form of a time: microseconds since 1970, and 0 for the zero time.
func timeInt(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func intTime(i int64) time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMicro(i).UTC()
}

// cleanText makes text that both engines take: PostgreSQL refuses NUL and invalid UTF-8.
func cleanText(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}

// assign stores a column in what dest points to. NULL is the zero value.
func (v value) assign(dest any) error {
	switch d := dest.(type) {
	case *string:
		switch v.kind {
		case kindNull:
			*d = ""
		case kindText, kindBlob:
			*d = string(v.raw)
		default:
			return v.mismatch(dest)
		}
		return nil
	case *[]byte:
		switch v.kind {
		case kindNull:
			*d = nil
		case kindText, kindBlob:
			*d = append(make([]byte, 0, len(v.raw)), v.raw...)
		default:
			return v.mismatch(dest)
		}
		return nil
	case *time.Time:
		i, ok := v.integer()
		if !ok {
			return v.mismatch(dest)
		}
		*d = intTime(i)
		return nil
	case *int64:
		i, ok := v.integer()
		if !ok {
			return v.mismatch(dest)
		}
		*d = i
		return nil
	case *any:
		*d = v.any()
		return nil
	}
	return v.assignReflect(dest)
}

func (v value) assignReflect(dest any) error {
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("cannot scan into %T: not a pointer", dest)
	}
	e := p.Elem()
	switch e.Kind() {
	case reflect.String:
		var s string
		if err := v.assign(&s); err != nil {
			return v.mismatch(dest)
		}
		e.SetString(s)
		return nil
	case reflect.Bool:
		if i, ok := v.integer(); ok {
			e.SetBool(i != 0)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if i, ok := v.integer(); ok && !e.OverflowInt(i) {
			e.SetInt(i)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if i, ok := v.integer(); ok && i >= 0 && !e.OverflowUint(uint64(i)) {
			e.SetUint(uint64(i))
			return nil
		}
	case reflect.Float32, reflect.Float64:
		switch v.kind {
		case kindNull:
			e.SetFloat(0)
			return nil
		case kindInt:
			e.SetFloat(float64(v.int))
			return nil
		case kindFloat:
			e.SetFloat(v.float)
			return nil
		}
	case reflect.Slice:
		if e.Type().Elem().Kind() == reflect.Uint8 {
			var b []byte
			if err := v.assign(&b); err != nil {
				return v.mismatch(dest)
			}
			e.SetBytes(b)
			return nil
		}
	}
	return v.mismatch(dest)
}

// integer is the column as a whole number; a fraction without a fractional part counts (sums).
func (v value) integer() (int64, bool) {
	switch v.kind {
	case kindNull:
		return 0, true
	case kindInt:
		return v.int, true
	case kindFloat:
		if v.float == math.Trunc(v.float) && math.Abs(v.float) < 1<<62 {
			return int64(v.float), true
		}
	}
	return 0, false
}

func (v value) any() any {
	switch v.kind {
	case kindInt:
		return v.int
	case kindFloat:
		return v.float
	case kindText:
		return string(v.raw)
	case kindBlob:
		return append([]byte{}, v.raw...)
	}
	return nil
}

func (v value) mismatch(dest any) error {
	name := [...]string{"NULL", "an integer", "a fraction", "text", "bytes"}[v.kind]
	return fmt.Errorf("column holds %s, which does not fit %T", name, dest)
}
