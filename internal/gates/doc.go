// Package gates holds tests that read sources and documents: what they say must agree with the code, and the code with the rules of
// CONTRIBUTING.md. It has no code of its own.
package gates
