// Command handprint tells a SOC which attackers are the same hands: it reads
// observations of their behaviour from Kafka and says, for each identity and
// trait, whether it holds, drifts or conflicts.
//
// One file holds one command; root.go puts them together, app.go is what they
// share: configuration, output, the connection to the cluster. What the
// commands do lives in the packages below; here is only how a person asks for
// it.
package main

//go:generate go run . reference --out ../../docs/configuration.md
//go:generate go run . schemas asyncapi --out ../../docs/asyncapi.yaml
