// Package webhook: Tells programs of customers and operators each fact, signed, in order, retried, replayable.
package webhook
