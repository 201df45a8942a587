//go:build !unix

package state

func newRegion(size int) []byte { return make([]byte, size) }

func freeRegion(region []byte) {}

func forget(chunk []byte) {}
