//go:build integration && linux

package integration

import (
	"errors"
	"os"
	"syscall"
)

// mount puts a file system of a size in the place of a folder.
func mount(a *trial, dir, size string) {
	a.t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		a.App.Close()
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			a.t.Error(err)
		}
	})
}

// fill writes to a file until there is no space left.
func fill(a *trial, name string) {
	a.t.Helper()
	file, err := os.Create(name)
	if err != nil {
		a.t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		a.t.Fatal(err)
	}
}
