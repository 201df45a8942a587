// Package jsonscan reads the members of one JSON object without building it.
//
// It is strict, as RFC 8259 is: UTF-8 only, no NaN, no trailing commas. Names
// are compared exactly, upper and lower case differ, and the caller sees every
// member in order, so that of a repeated name the last can count. What it does
// not do is read numbers: adapters need none.
package jsonscan
