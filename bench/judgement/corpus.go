package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"postern/internal/mail"
)

// Kinds of messages.
const (
	easyHam = "easy ham"
	hardHam = "hard ham"
	spam    = "spam"
)

// item is one message of the corpus.
type item struct {
	file    string // folder and name
	kind    string
	message *mail.Message
}

func (i *item) spam() bool { return i.kind == spam }

// load reads the corpus, in the order of the names.
func load(root string) ([]*item, error) {
	folders, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var items []*item
	for _, folder := range folders {
		kind := kindOf(folder.Name())
		if !folder.IsDir() || kind == "" {
			continue
		}
		files, err := os.ReadDir(filepath.Join(root, folder.Name()))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			raw, err := os.ReadFile(filepath.Join(root, folder.Name(), f.Name()))
			if err != nil {
				return nil, err
			}
			items = append(items, &item{folder.Name() + "/" + f.Name(), kind, mail.Parse(wireForm(raw), mail.DefaultLimits())})
		}
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%s holds no folder named spam… or …ham…", root)
	}
	return items, nil
}

func kindOf(folder string) string {
	switch {
	case strings.HasPrefix(folder, "spam"):
		return spam
	case strings.HasPrefix(folder, "hard-ham"):
		return hardHam
	case strings.Contains(folder, "ham"):
		return easyHam
	}
	return ""
}

// wireForm is the message as a client would send it: without the line an mbox puts before it, and with CRLF.
func wireForm(raw []byte) []byte {
	if bytes.HasPrefix(raw, []byte("From ")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
}
