package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Check is a rule for values of T: what it demands in words that follow "must
// be", and whether a value is as demanded.
type Check[T any] struct {
	Text string
	OK   func(T) bool
}

// Between demands a value from lo to hi, both allowed.
func Between[T cmp.Ordered](lo, hi T) Check[T] {
	return Check[T]{"between " + show(lo) + " and " + show(hi), func(v T) bool { return v >= lo && v <= hi }}
}

// AtLeast demands a value of lo or more.
func AtLeast[T cmp.Ordered](lo T) Check[T] {
	return Check[T]{"at least " + show(lo), func(v T) bool { return v >= lo }}
}

// Above demands a value greater than lo and not greater than hi.
func Above[T cmp.Ordered](lo, hi T) Check[T] {
	return Check[T]{"above " + show(lo) + " and at most " + show(hi), func(v T) bool { return v > lo && v <= hi }}
}

// Sizes demands a number of bytes from lo to hi, both allowed.
func Sizes(lo, hi int) Check[int] {
	return Check[int]{"between " + formatBytes(lo) + " and " + formatBytes(hi), Between(lo, hi).OK}
}

// show writes a bound as a person would write it in a configuration.
func show(v any) string {
	if d, ok := v.(time.Duration); ok {
		return formatDuration(d)
	}
	return fmt.Sprint(v)
}

// OneOf demands one of the words.
func OneOf(words ...string) Check[string] {
	return Check[string]{"one of " + strings.Join(words, ", "), func(v string) bool { return slices.Contains(words, v) }}
}

// NotEmpty demands a text that is not empty.
func NotEmpty() Check[string] {
	return Check[string]{"not empty", func(v string) bool { return v != "" }}
}

// Any demands nothing.
func Any[T any]() Check[T] { return Check[T]{"", func(T) bool { return true }} }

// Matching demands what a function accepts.
func Matching[T any](text string, ok func(T) bool) Check[T] { return Check[T]{text, ok} }

// kind is how values of T are read and written.
type kind[T any] struct {
	name   string
	parse  func(string) (T, error)
	format func(T) string
}

var (
	intKind    = kind[int]{"integer", parseInt, strconv.Itoa}
	floatKind  = kind[float64]{"number", parseFloat, formatFloat}
	boolKind   = kind[bool]{"boolean", parseBool, strconv.FormatBool}
	textKind   = kind[string]{"text", func(s string) (string, error) { return s, nil }, func(s string) string { return s }}
	pathKind   = kind[string]{"path", textKind.parse, textKind.format}
	listKind   = kind[[]string]{"comma-separated list", parseList, func(l []string) string { return strings.Join(l, ",") }}
	periodKind = kind[time.Duration]{"duration", parseDuration, formatDuration}
	bytesKind  = kind[int]{"size in bytes", parseBytes, formatBytes}
)

func parseInt(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return 0, errors.New("a whole number")
	}
	return n, nil
}

func parseFloat(s string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, errors.New("a finite number")
	}
	return f, nil
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, errors.New("true or false")
}

func parseList(s string) ([]string, error) {
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil {
		return 0, errors.New("a duration such as 500ms, 60s or 24h")
	}
	return d, nil
}

// formatDuration leaves out what time.Duration.String writes of zeros.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var byteUnits = []struct {
	suffix string
	size   int
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

func parseBytes(s string) (int, error) {
	s = strings.TrimSpace(s)
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(digits))
		if err != nil || n > math.MaxInt/u.size || n < 0 {
			break
		}
		return n * u.size, nil
	}
	return 0, errors.New("a size in bytes such as 262144, 256KiB or 1MiB")
}

func formatBytes(n int) string {
	for _, u := range byteUnits[:3] {
		if n >= u.size && n%u.size == 0 {
			return strconv.Itoa(n/u.size) + u.suffix
		}
	}
	return strconv.Itoa(n)
}
