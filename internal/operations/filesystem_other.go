//go:build !linux

package operations

// Filesystem is known on Linux only.
func Filesystem(string) (kind, fix string) { return "", "" }
