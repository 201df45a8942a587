package ingest_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func TestPackedLogsAreUnpacked(t *testing.T) {
	log := []byte(strings.Join(events(), "\n") + "\n")
	half := len(strings.Join(events()[:5], "\n")) + 1
	plain, _, err := read(t, log)
	if err != nil {
		t.Fatal(err)
	}
	zst := func(b []byte) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(b, nil)
	}
	xzs := func(b []byte) []byte {
		var out bytes.Buffer
		w, err := xz.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	tarred := func(files ...[]byte) []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for i, b := range files {
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint("log/cowrie.json.", i), Mode: 0o600, Size: int64(len(b)), Typeflag: tar.TypeReg}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	gz := func(b []byte) []byte { return zipped(t, string(b)) }
	cases := map[string][]byte{
		"gzip": gz(log), "gzip twice": gz(gz(log)), "zstd": zst(log), "zstd, two frames": append(zst(log[:half]), zst(log[half:])...), "xz": xzs(log),
		"xz in gzip": gz(xzs(log)), "padding": append(gz(log), make([]byte, 70_000)...), "padding between": append(append(gz(log[:half]), 0, 0, 0), gz(log[half:])...),
		"tar": tarred(log), "tar.gz": gz(tarred(log[:half], log[half:])), "tar of packed": tarred(gz(log[:half]), zst(log[half:])),
		"tar without newlines": tarred(log[:half-1], log[half:]), "garbage behind": append(gz(log), "garbage"...),
		"gzip of CR LF": gz(bytes.ReplaceAll(log, []byte("\n"), []byte("\r\n"))), "xz, two streams": append(xzs(log[:half]), xzs(log[half:])...),
		"xz, padding": append(append(xzs(log[:half]), make([]byte, 8)...), append(xzs(log[half:]), make([]byte, 4)...)...),
		"xz, garbage": append(xzs(log), "garbage behind it"...), "zstd, padding": append(zst(log), make([]byte, 64)...), "zstd, garbage": append(zst(log), "garbage"...),
		"zstd, a frame without data": append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"), zst(log)...), "tar.xz of gz": xzs(tarred(gz(log[:half]), gz(log[half:]))),
		"utf-32 in gzip": gz(append([]byte{0xff, 0xfe, 0, 0}, utf32le(log)...)),
	}
	if path, err := exec.LookPath("bzip2"); err == nil {
		cmd := exec.Command(path, "-c")
		cmd.Stdin = bytes.NewReader(log)
		if cases["bzip2"], err = cmd.Output(); err != nil {
			t.Fatal(err)
		}
		cases["bzip2, padding"] = append(bytes.Clone(cases["bzip2"]), make([]byte, 100)...)
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			got, _, err := read(t, data)
			if err != nil || len(got.dead) > 0 || !slices.Equal(got.observations, plain.observations) {
				t.Errorf("%d observations, dead letters %v, %v", len(got.observations), got.dead, err)
			}
		})
	}
	t.Run("cut short", func(t *testing.T) {
		whole := gz(log)
		got, _, err := read(t, whole[:len(whole)-20], log)
		if err == nil || len(got.observations) < len(plain.observations) {
			t.Errorf("%d observations, %v", len(got.observations), err)
		}
	})
	for name, data := range map[string][]byte{"zip": []byte("PK\x03\x04xxxx"), "lzma": []byte("\x5d\x00\x00\x80\x00"), "compress": []byte("\x1f\x9d\x90"), "a gzip in too many": gz(gz(gz(gz(gz(gz(log))))))} {
		if _, _, err := read(t, data); err == nil || !strings.Contains(err.Error(), "unpacking") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// utf32le returns ASCII text in UTF-32.
func utf32le(text []byte) []byte {
	var out []byte
	for _, r := range string(text) {
		out = binary.LittleEndian.AppendUint32(out, uint32(r))
	}
	return out
}
