package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"handprint/internal/broker"
	"handprint/serve"
	"handprint/state"
)

// Exit codes. They are part of the command line: scripts may rely on them.
const (
	exitOK          = 0
	exitFailure     = 1   // something went wrong while running
	exitUsage       = 2   // wrong arguments or configuration
	exitUnreachable = 3   // no broker answered
	exitState       = 4   // the state directory, or the folder of the read side, cannot be used
	exitTopics      = 5   // a topic is missing or does not fit
	exitDifferences = 6   // an audit found differences
	exitHistoryGone = 7   // an audit cannot be made: a topic lost its beginning, or is not the one that was processed
	exitUnusable    = 8   // nothing of a sensor's log could be used
	exitInterrupted = 130 // ended by a signal before the work was done
)

const exitCodes = `Exit codes:
  0    done
  1    something went wrong while running
  2    wrong arguments or configuration
  3    no broker could be reached
  4    the state directory, or that of the read side (serve-dir), cannot be used
       (locked, not writable, of a newer version, of another application)
  5    a topic is missing or does not fit
  6    an audit found differences
  7    an audit cannot be made: a topic has lost its beginning, or is not the one
       that was processed
  8    none of the lines of a sensor's log could be used
  130  interrupted before the work was done`

// codeError is an error that knows its exit code.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// usageErrorf returns an error about how the command was called.
func usageErrorf(format string, args ...any) error {
	return &codeError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode returns the exit code that an error of a running command stands
// for.
func exitCode(err error) int {
	var coded *codeError
	var unreachable *broker.UnreachableError
	var folder *serve.FolderError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &unreachable):
		return exitUnreachable
	case errors.As(err, &folder), errors.Is(err, state.ErrLocked), errors.Is(err, state.ErrNewerVersion),
		errors.Is(err, state.ErrUnwritable), errors.Is(err, state.ErrNotAStore), errors.Is(err, state.ErrCorrupt):
		return exitState
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailure
}

// oneLine joins the lines of an error's text: one failure is one line on
// standard error.
func oneLine(err error) string {
	lines := strings.FieldsFunc(plainWords(err.Error()), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return printable(strings.Join(lines, "; "))
}

// shardErrors is what the client library says of a request that went to several
// brokers.
var shardErrors = regexp.MustCompile(`request (\w+) has \d+ separate shard errors, first: `)

// plainWords leaves out of an error's text what says nothing to an operator.
func plainWords(text string) string { return shardErrors.ReplaceAllString(text, "$1: ") }

// plainError is plainWords for the errors in the log.
func plainError(_ []string, a slog.Attr) slog.Attr {
	if err, is := a.Value.Any().(error); is {
		a.Value = slog.StringValue(plainWords(err.Error()))
	}
	return a
}
