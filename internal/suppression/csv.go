package suppression

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
)

// Columns are the columns of the CSV form, in the order in which WriteCSV writes them. ReadCSV takes them in any order and needs only address.
func Columns() []string {
	return []string{"address", "customer", "reason", "since", "until", "by", "queue_id", "heard", "code", "enhanced", "answer", "host", "provider", "rule", "phase", "note", "hits"}
}

// WriteCSV writes entries, with the names of the columns first if head says so. Cells that a spreadsheet would compute get an apostrophe in
// front, which ReadCSV takes away.
func WriteCSV(w io.Writer, entries []Entry, head bool) error {
	c := csv.NewWriter(w)
	if head {
		if err := c.Write(Columns()); err != nil {
			return err
		}
	}
	for _, e := range entries {
		v := e.Evidence
		code := ""
		if v.Code != 0 {
			code = strconv.Itoa(v.Code)
		}
		row := []string{FormatAddress(e.Address), e.Customer, string(e.Reason), stamp(e.Since), stamp(e.Until), e.By, string(v.QueueID), stamp(v.At), code, v.Enhanced, v.Text,
			v.Host, v.Provider, v.Rule, v.Phase, e.Note, strconv.Itoa(e.Hits)}
		for i := range row {
			row[i] = guard(row[i])
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// computed are the characters at which spreadsheets take a cell for a formula (OWASP, CSV injection, read 2026-11); the apostrophe is here so
// that taking one away always gives back what was.
const computed = "=+-@\t\r\n'"

// guard keeps a spreadsheet from computing a cell.
func guard(s string) string {
	if s != "" && strings.IndexByte(computed, s[0]) >= 0 {
		return "'" + s
	}
	return s
}

func unguard(s string) string {
	if len(s) > 1 && s[0] == '\'' && strings.IndexByte(computed, s[1]) >= 0 {
		return s[1:]
	}
	return s
}

// Defaults are what ReadCSV puts where a row says nothing.
type Defaults struct {
	Customer string
	Reason   Reason
	By       string
	Line     int  // number of the first line, for errors; 0: 1
	Fixed    bool // every row belongs to Customer, whatever it says
}

// Bounds of ReadCSV.
const (
	// MaxCSV is how many bytes ReadCSV reads at most.
	MaxCSV = 4 << 20

	maxFaults = 20
)

// RowError is a fault in one row. It wraps ErrInvalid.
type RowError struct {
	Line   int    // from 1, of the file
	Column string // "" when it is about the whole row
	Value  string // what stood there, at most 80 bytes
	Err    error
}

// Error says where and what.
func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d: %s: %v", e.Line, e.Column, e.Err)
}

// Unwrap returns what is wrong.
func (e *RowError) Unwrap() error { return e.Err }

// ReadCSV reads entries. Every fault is told with its line (RowError), up to 20 of them; the error wraps ErrInvalid. The first row names the columns;
// "email" means address. A file with one column and an address in its first row needs no names.
func ReadCSV(r io.Reader, d Defaults) ([]Entry, error) {
	limited := &io.LimitedReader{R: r, N: MaxCSV + 1}
	c := csv.NewReader(limited)
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	first, err := c.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: the file is empty", ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	first = slices.Clone(first)
	first[0] = strings.TrimPrefix(first[0], "\ufeff")
	names, err := header(first)
	var entries []Entry
	var faults []error
	take := func(row []string, line int) {
		e, fault := readRow(names, row, d)
		if fault != nil {
			if len(faults) < maxFaults {
				fault.Line = line + max(d.Line, 1) - 1
				faults = append(faults, fault)
			}
			return
		}
		entries = append(entries, e)
	}
	if err != nil {
		if len(first) != 1 || !strings.Contains(first[0], "@") {
			return nil, err
		}
		names = []string{"address"}
		take(first, 1)
	}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(append(faults, fmt.Errorf("%w: %w", ErrInvalid, err))...)
		}
		at, _ := c.FieldPos(0)
		take(row, at)
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("%w: more than %d MB at once", ErrInvalid, MaxCSV>>20)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return entries, nil
}

// header reads the names of the columns.
func header(row []string) ([]string, error) {
	names := make([]string, len(row))
	for i, name := range row {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "email" {
			name = "address"
		}
		if !slices.Contains(Columns(), name) {
			return nil, fmt.Errorf("%w: %q is no column; expected some of %s", ErrInvalid, cut(name, 40), strings.Join(Columns(), ", "))
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("%w: column %s stands there twice", ErrInvalid, name)
		}
		names[i] = name
	}
	if !slices.Contains(names, "address") {
		return nil, fmt.Errorf("%w: there is no column address", ErrInvalid)
	}
	return names, nil
}

// readRow reads one row; Line of the fault is for the caller to fill in.
func readRow(names, row []string, d Defaults) (Entry, *RowError) {
	bad := func(format string, args ...any) (Entry, *RowError) {
		return Entry{}, &RowError{Err: fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)}
	}
	if len(row) > len(names) {
		return bad("%d cells, and %d columns", len(row), len(names))
	}
	e := Entry{Customer: d.Customer, Reason: d.Reason, By: d.By}
	v := &e.Evidence
	for i, cell := range row {
		if cell = strings.TrimSpace(unguard(cell)); cell == "" {
			continue
		}
		var err error
		switch names[i] {
		case "address":
			e.Address, err = ParseAddress(cell)
		case "customer":
			if !d.Fixed {
				e.Customer = cell
			} else if cell != d.Customer {
				err = fmt.Errorf("%w: customer %q, but the file is taken for %q", ErrInvalid, cut(cell, 40), d.Customer)
			}
		case "reason":
			if e.Reason = Reason(cell); e.Reason.strength() < 0 {
				err = fmt.Errorf("%w: %q is no reason; expected one of %s", ErrInvalid, cut(cell, 40), strings.Trim(fmt.Sprint(Reasons()), "[]"))
			}
		case "since":
			e.Since, err = parseTime(cell)
		case "until":
			e.Until, err = parseTime(cell)
		case "heard":
			v.At, err = parseTime(cell)
		case "by":
			e.By = cell
		case "queue_id":
			v.QueueID, err = mail.ParseQueueID(cell)
		case "code":
			if v.Code, err = strconv.Atoi(cell); err == nil && (v.Code < 200 || v.Code > 599) {
				err = fmt.Errorf("%w: code %d is not between 200 and 599", ErrInvalid, v.Code)
			}
		case "hits":
			if e.Hits, err = strconv.Atoi(cell); err == nil && (e.Hits < 0 || e.Hits > 1<<31) {
				err = fmt.Errorf("%w: hits %d", ErrInvalid, e.Hits)
			}
		case "enhanced":
			v.Enhanced = line(cell, maxWord)
		case "answer":
			v.Text = line(cell, maxText)
		case "host":
			v.Host = line(cell, maxHost)
		case "provider":
			v.Provider = line(cell, maxWord)
		case "rule":
			v.Rule = line(cell, maxWord)
		case "phase":
			v.Phase = line(cell, maxWord)
		case "note":
			e.Note = line(cell, maxNote)
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				err = fmt.Errorf("%w: %w", ErrInvalid, err)
			}
			return Entry{}, &RowError{Column: names[i], Value: line(cell, 80), Err: err}
		}
	}
	switch {
	case e.Address.Domain == "":
		return bad("no address")
	case len(e.Address.Local) > maxLocal:
		return bad("the address is too long")
	case e.By != ByRule && e.By != "recipient" && !e.ByPerson():
		return bad("by %q; expected rule, recipient, operator:NAME or sender:NAME", cut(e.By, 40))
	}
	return e, nil
}

// parseTime reads a time as stamp writes it, or a day, which begins in UTC.
func parseTime(s string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil && t.Year() >= 1970 && t.Year() < 10000 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: %q is no time; expected 2027-01-31 or 2027-01-31T18:00:00Z", ErrInvalid, cut(s, 40))
}
