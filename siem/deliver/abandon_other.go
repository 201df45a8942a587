//go:build !linux

package deliver

import (
	"syscall"
	"time"
)

// abandonAfter does nothing: the option that it sets is Linux's.
func abandonAfter(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
