// Package unpack reads what a log file holds as UTF-8 text.
//
// It looks at the first bytes, whatever the file's name: gzip, zstd, xz, bzip2
// and tar are unpacked, one inside the other too; UTF-16 and the marks of byte
// order are undone. Anything else is passed on as it is. What it does not do is
// find lines or read them.
package unpack
