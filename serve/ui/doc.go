// Package ui is the analysts' pages: HTML made by the server from the same
// answers that the API gives, one style sheet, one script. It answers who is
// stable, who changed, who may be two people, and why it says so.
//
// A page asks a [Source], lays out what it got, and knows nothing of Kafka, the
// store or tokens: who may see it is package guard's, what an answer holds is
// package query's. Every page works with scripts off; the script adds what
// arrives live, keys, and completion. Nothing is requested from elsewhere.
//
// Templates are templ's: typed, escaped by context, compiled. `make ui` makes
// the Go code from them, which is committed.
package ui
