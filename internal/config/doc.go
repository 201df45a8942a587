// Package config is where every setting is declared, once: its name, default,
// range, unit, importance and the sentence that explains it.
//
// From that one declaration ([Declare]) come the command-line flag, the
// environment variable, the key in the configuration file, the validation, the
// help text and docs/configuration.md. A [Set] reads them with the precedence
// flag, environment, file, default, and an error names the place that a wrong
// value came from.
//
// What a setting does is not here: the packages that it is for take the fields
// of [Config].
package config
