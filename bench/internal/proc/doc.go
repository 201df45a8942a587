// Package proc says what a process has used, and ends it with the one that
// started it. It is for benchmarks that run what they measure as processes of
// their own.
package proc
