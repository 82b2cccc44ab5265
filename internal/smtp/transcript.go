package smtp

import (
	"strconv"
	"strings"
)

// Exchange is one step of a conversation, made safe to show and to store: no
// control characters, valid UTF-8, at most 1 KiB a side, no credentials.
type Exchange struct {
	Sent     string   // command line without CRLF; empty for the greeting; "[4711 bytes of message]" for content
	Received []string // reply lines as "250-text" and "250 text"; empty when no answer came
}

// What a transcript keeps. A transaction with more steps loses its middle.
const (
	transcriptHead  = 32      // steps kept from the start
	transcriptTail  = 32      // steps kept from the end
	transcriptBytes = 1 << 10 // bytes kept of each side of a step
)

// transcript records a conversation in bounded space and without allocating
// on the way; the readable form is made on demand.
type transcript struct {
	head    []transcriptStep // steps 0..transcriptHead-1
	tail    []transcriptStep // the last transcriptTail of the others, a ring
	sent    int              // steps begun
	replied int              // steps answered
}

type transcriptStep struct {
	sent     []byte // reused between transactions
	reply    Reply
	answered bool
}

// clear forgets everything and keeps the space.
func (t *transcript) clear() { t.sent, t.replied = 0, 0 }

// at returns step n, nil when it is not kept.
func (t *transcript) at(n int) *transcriptStep {
	if n < transcriptHead {
		if n < len(t.head) {
			return &t.head[n]
		}
		return nil
	}
	if n < t.sent-transcriptTail || len(t.tail) == 0 {
		return nil
	}
	return &t.tail[(n-transcriptHead)%transcriptTail]
}

// command begins a step.
func (t *transcript) command(line []byte) {
	n := t.sent
	t.sent++
	switch {
	case n >= transcriptHead && t.tail == nil:
		t.tail = make([]transcriptStep, transcriptTail)
	case n == len(t.head) && n < transcriptHead:
		t.head = append(t.head, transcriptStep{})
	}
	s := t.at(n)
	s.sent = append(s.sent[:0], line[:min(len(line), transcriptBytes)]...)
	s.reply, s.answered = Reply{}, false
}

// answer notes the reply to the oldest step that has none.
func (t *transcript) answer(r Reply) {
	n := t.replied
	t.replied++
	s := t.at(n)
	if s == nil || n >= t.sent {
		return
	}
	// Keep a part of a long reply: the lines are cut loose from the rest.
	size := 0
	for i, line := range r.Lines {
		if size += len(line); size > transcriptBytes {
			kept := make([]string, i, i+1)
			copy(kept, r.Lines[:i])
			if room := transcriptBytes - (size - len(line)); room > 0 {
				kept = append(kept, strings.Clone(line[:room]))
			}
			r.Lines = kept
			break
		}
	}
	s.reply, s.answered = r, true
}

// exchanges renders what is kept.
func (t *transcript) exchanges() []Exchange {
	out := make([]Exchange, 0, min(t.sent, transcriptHead+transcriptTail+1))
	for n := range min(t.sent, transcriptHead) {
		out = append(out, t.head[n].exchange())
	}
	if t.sent <= transcriptHead {
		return out
	}
	first := max(transcriptHead, t.sent-transcriptTail)
	if first > transcriptHead {
		out = append(out, Exchange{Sent: "[" + strconv.Itoa(first-transcriptHead) + " steps left out]"})
	}
	for n := first; n < t.sent; n++ {
		out = append(out, t.at(n).exchange())
	}
	return out
}

func (s *transcriptStep) exchange() Exchange {
	e := Exchange{Sent: printableText(string(s.sent))}
	if !s.answered {
		return e
	}
	code, enhanced := strconv.Itoa(s.reply.Code), s.reply.Enhanced.String()
	if enhanced != "" {
		enhanced += " "
	}
	for i, line := range s.reply.Lines {
		mark := "-"
		if i == len(s.reply.Lines)-1 {
			mark = " "
		}
		e.Received = append(e.Received, code+mark+enhanced+line)
	}
	return e
}
