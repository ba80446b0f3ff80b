//go:build !unix

package rows

import "os"

// lock does nothing where there is no flock: two runs must not share a file of results.
func lock(*os.File) error { return nil }
