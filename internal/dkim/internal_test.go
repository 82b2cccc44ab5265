package dkim

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

func TestRelaxedExamples(t *testing.T) {
	t.Parallel()
	// RFC 6376 3.4.5.
	if got := string(relaxedField(nil, []byte("A: X\r\n"))) + string(relaxedField(nil, []byte("B : Y\t\r\n\tZ  \r\n"))); got != "a:X\r\nb:Y Z\r\n" {
		t.Errorf("header: %q", got)
	}
	var body bytes.Buffer
	relaxedBody(&body, []byte(" C \r\nD \t E\r\n\r\n\r\n"))
	if body.String() != " C\r\nD E\r\n" {
		t.Errorf("relaxed body: %q", body.String())
	}
	body.Reset()
	simpleBody(&body, []byte(" C \r\nD \t E\r\n\r\n\r\n"))
	if body.String() != " C \r\nD \t E\r\n" {
		t.Errorf("simple body: %q", body.String())
	}
	for _, empty := range []string{"", "\r\n", "\r\n\r\n"} {
		body.Reset()
		relaxedBody(&body, []byte(empty))
		simple := bytes.Buffer{}
		simpleBody(&simple, []byte(empty))
		if body.Len() != 0 || simple.String() != "\r\n" {
			t.Errorf("empty body %q: relaxed %q, simple %q", empty, body.String(), simple.String())
		}
	}
}

// plainRelaxed is relaxed body canonicalisation word for word as in RFC 6376 3.4.4.
func plainRelaxed(body []byte) []byte {
	reduced := regexp.MustCompile(`[ \t]+`).ReplaceAllString(string(body), " ")
	lines := strings.Split(reduced, "\r\n")
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(line, " ")
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return nil
	}
	return []byte(strings.Join(lines, "\r\n") + "\r\n")
}

// FuzzCanonical holds that canonicalisation settles: doing it twice changes nothing,
// and that the relaxed body is what the plain reading of the standard gives.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"Subject:  a \t b\r\n c\r\n", "x", " C \r\nD \t E\r\n\r\n\r\n", "\r\n\r\n", "\r\r\n \n\t\r", "a:\r\n :b", "a\r\n\r\n\r\nb  c\r\n\r\nd\r\n \r\ne \r\n\r\n", "a\r\nb\tc \td\r\n\r\ne"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, canonical := range map[string]func([]byte) []byte{
			"relaxed body": func(in []byte) []byte { var w bytes.Buffer; relaxedBody(&w, in); return w.Bytes() },
			"simple body":  func(in []byte) []byte { var w bytes.Buffer; simpleBody(&w, in); return w.Bytes() },
		} {
			once := canonical(b)
			if twice := canonical(once); !bytes.Equal(once, twice) {
				t.Fatalf("%s of %q: %q, again %q", name, b, once, twice)
			}
			if len(once) > len(b)+2 {
				t.Fatalf("%s of %d bytes has %d", name, len(b), len(once))
			}
		}
		var w bytes.Buffer
		relaxedBody(&w, b)
		if want := plainRelaxed(b); !bytes.Equal(w.Bytes(), want) {
			t.Fatalf("relaxed body of %q: %q, want %q", b, w.Bytes(), want)
		}
		fields, body := split(crlf(b))
		size := len(body)
		for _, fl := range fields {
			size += len(fl.raw)
			if len(fl.name) == 0 {
				continue
			}
			once := relaxedField(nil, fl.raw)
			if twice := relaxedField(nil, once); !bytes.Equal(once, twice) {
				t.Fatalf("relaxed field of %q: %q, again %q", fl.raw, once, twice)
			}
			if bytes.Contains(bytes.TrimSuffix(once, []byte("\r\n")), []byte("\r\n")) {
				t.Fatalf("relaxed field of %q holds a line end: %q", fl.raw, once)
			}
		}
		if n := len(crlf(b)); size != n && size != n-2 {
			t.Fatalf("split lost bytes: %d of %d", size, n)
		}
		if hasBareNewline(crlf(b)) != bytes.Contains(bytes.ReplaceAll(crlf(b), []byte("\r\n"), nil), []byte("\r")) {
			t.Fatalf("bare line ends of %q misjudged", b)
		}
	})
}

func FuzzTagList(f *testing.F) {
	for _, seed := range []string{"v=1; a=b", " a = b ; c=d;", "v=DKIM1; k=rsa; p=AA==", "=;=", "a=1;a=2", "b=x; bh=y; b =\r\n z", ";;;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parseTagList(s)
		if err == nil && len(list) == 0 || err != nil && list != nil {
			t.Fatalf("%v with error %v", list, err)
		}
		again := ""
		for _, tag := range list {
			again += tag.name + "=" + tag.value + ";"
		}
		if err == nil {
			second, err := parseTagList(again)
			if err != nil || len(second) != len(list) {
				t.Fatalf("%q read again: %v, %v", again, second, err)
			}
		}
		// Taking b= out must leave nothing to take out.
		field := append([]byte("DKIM-Signature:"), s...)
		once := withoutSignature(field)
		if twice := withoutSignature(once); !bytes.Equal(once, twice) {
			t.Fatalf("b= taken out of %q: %q, again %q", field, once, twice)
		}
		rec, err := parseKeyRecord(s)
		if err == nil && rec.public == nil {
			t.Fatalf("key record %q without a key", s)
		}
		_, _ = decodeQP(s)
	})
}
