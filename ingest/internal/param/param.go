// Package param declares the numbers of the adapters' settings: each with its
// name, its default, its range, what it decides, and the way to it. Where they
// are set from (flags, environment, a file) is not here.
package param

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// Param is one number of the settings: its declaration, and the way to it.
type Param struct {
	Name    string // as on the command line, such as "session-timeout"
	Usage   string // what it decides
	Default string // in the notation that Set reads
	Range   string // the values that Validate accepts

	set   func(text string) error
	get   func() string
	check func() error
	reset func()
}

// Set sets the number to what text says: a count, a decimal number, or a
// duration as time.ParseDuration reads it. It does not look at the range;
// Validate does.
func (p Param) Set(text string) error {
	if err := p.set(text); err != nil {
		return fmt.Errorf("setting %s: %w", p.Name, err)
	}
	return nil
}

// Get returns the number in the notation that Set reads.
func (p Param) Get() string { return p.get() }

// Check returns an error if the number lies outside its range.
func (p Param) Check() error { return p.check() }

// Reset sets the number to its default.
func (p Param) Reset() { p.reset() }

// New declares a number of any kind, read by parse and written by format.
func New[T cmp.Ordered](name string, value *T, def, low, high T, usage string, parse func(string) (T, error), format func(T) string) Param {
	return Param{
		Name: name, Usage: usage, Default: format(def), Range: format(low) + " to " + format(high),
		set: func(text string) error {
			v, err := parse(text)
			if err == nil {
				*value = v
			}
			return err
		},
		get: func() string { return format(*value) },
		check: func() error {
			if *value < low || *value > high || *value != *value {
				return fmt.Errorf("%s lies outside %s to %s", format(*value), format(low), format(high))
			}
			return nil
		},
		reset: func() { *value = def },
	}
}

// Counts declares a whole number.
func Counts(name string, value *int, def, low, high int, usage string) Param {
	return New(name, value, def, low, high, usage, strconv.Atoi, strconv.Itoa)
}

// Confidences declares a number from 0 to 1.
func Confidences(name string, value *float64, def float64, usage string) Param {
	parse := func(text string) (float64, error) { return strconv.ParseFloat(text, 64) }
	format := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	return New(name, value, def, 0, 1, usage, parse, format)
}

// Switches declares what is on or off.
func Switches(name string, value *bool, def bool, usage string) Param {
	return Param{
		Name: name, Usage: usage, Default: strconv.FormatBool(def), Range: "true or false",
		set: func(text string) error {
			v, err := strconv.ParseBool(text)
			if err == nil {
				*value = v
			}
			return err
		},
		get:   func() string { return strconv.FormatBool(*value) },
		check: func() error { return nil },
		reset: func() { *value = def },
	}
}

// Durations declares a time of whole microseconds.
func Durations(name string, value *time.Duration, def, low, high time.Duration, usage string) Param {
	p := New(name, value, def, low, high, usage, time.ParseDuration, time.Duration.String)
	inRange := p.check
	p.check = func() error {
		if *value%time.Microsecond != 0 {
			return fmt.Errorf("%v is not a whole number of microseconds", *value)
		}
		return inRange()
	}
	return p
}
