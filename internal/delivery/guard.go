package delivery

import (
	"errors"
	"fmt"
	"runtime/debug"

	"postern/internal/mail"
)

// errPoison is the error of a message whose handling panicked.
var errPoison = errors.New("the gateway failed on this message; its log says where")

// guarded runs what works on a message's own bytes. A panic there concerns this message alone: it would otherwise end the gateway, and
// again at each start, with all other mail.
func (d *Delivery) guarded(id mail.QueueID, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.o.Logger.Error("handling a message panicked", "queue_id", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errPoison
		}
	}()
	return f()
}
