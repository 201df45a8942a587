package engine

import "unsafe"

// view is b as a string, without a copy: only for who does not keep it, and only
// until b changes.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
