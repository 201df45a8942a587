package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The state directory has two small files that name its process: instance-id,
// and instance-place, which holds the number of its own inode. A copy of the
// directory has another inode, and that is how it is told from the original:
// two processes must not have one name.
const (
	instanceFile = "instance-id"
	placeFile    = "instance-place"
)

// instanceID reads the name of this process among those of the application
// from the state directory, and makes one if there is none. If the directory
// may be a copy of another process's, confirm is not nil; it is to be called
// when that other one turns out to be gone.
func instanceID(dir string) (id string, confirm func() error, err error) {
	name := filepath.Join(dir, instanceFile)
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", nil, fmt.Errorf("reading the instance id: %w", err)
	}
	if id = strings.TrimSpace(string(text)); id != "" {
		here, err := inPlace(dir)
		switch {
		case err != nil:
			return "", nil, fmt.Errorf("reading the place of the instance id: %w", err)
		case !here:
			return id, func() error { return takePlace(dir) }, nil
		}
		return id, nil, nil
	}
	id = strings.ToLower(rand.Text()[:12])
	if err := os.WriteFile(name, []byte(id+"\n"), 0o644); err != nil {
		return "", nil, fmt.Errorf("keeping the instance id: %w", err)
	}
	return id, nil, takePlace(dir)
}

// inPlace reports whether the directory is where its instance id was made. One
// that does not say is taken to be, and says so from now on.
func inPlace(dir string) (bool, error) {
	name := filepath.Join(dir, placeFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, takePlace(dir)
	}
	if err != nil {
		return false, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return false, err
	}
	return strings.TrimSpace(string(text)) == inode(info), nil
}

// takePlace writes the place of the instance id.
func takePlace(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, placeFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err == nil {
		var info fs.FileInfo
		if info, err = file.Stat(); err == nil {
			_, err = file.WriteString(inode(info) + "\n")
		}
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("keeping the place of the instance id: %w", err)
	}
	return nil
}

func inode(info fs.FileInfo) string {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(stat.Ino, 10)
	}
	return "unknown"
}
