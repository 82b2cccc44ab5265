package report

// Bytes returns the notification as a message.
func (d DSN) Bytes() ([]byte, error) { return nil, ErrIncomplete }
