package deliver

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// abandonAfter makes a connection break when what was sent has not been
// acknowledged by the peer's kernel for d: a peer that vanished is else noticed
// after a quarter of an hour.
func abandonAfter(d time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		if network == "udp4" || network == "udp6" {
			return nil
		}
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		})
		if err == nil {
			err = failed
		}
		return err
	}
}
