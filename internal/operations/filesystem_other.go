//go:build !linux

package operations

// filesystem is known on Linux only.
func filesystem(string) (kind, fix string) { return "", "" }
