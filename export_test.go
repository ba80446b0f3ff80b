package membercard

import "time"

// OperationInfo is a row of the operation table, for tests that range over it.
type OperationInfo struct {
	Name         Operation
	Method, Path string
	Read         bool // may be repeated whatever happened, and changes nothing
	Irreversible bool
	Idempotent   bool // a write that may be repeated whatever happened
	Contested    bool
	Class        int // of retries; 0 is none
}

// Operations returns the operation table.
func Operations() []OperationInfo {
	var infos []OperationInfo
	for _, op := range operations {
		infos = append(infos, OperationInfo{
			Name: op.name, Method: op.method, Path: op.path, Contested: op.contested, Class: int(op.class),
			Read: op.class == read, Idempotent: op.class == idempotentWrite, Irreversible: op.class == irreversible,
		})
	}
	return infos
}

// Backoff returns a wait after a number of attempts.
func Backoff(policy RetryPolicy, attempts int) time.Duration { return policy.backoff(attempts) }
