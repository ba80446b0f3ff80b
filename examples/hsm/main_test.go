package main

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHSM(t *testing.T) {
	if _, err := exec.LookPath("softhsm2-util"); err != nil {
		t.Skip("softhsm2 is not installed")
	}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-brand-edition"}, &out), out.String())
	out.Reset()
	require.NoError(t, run(t.Context(), nil, &out), out.String())
	for _, line := range []string{
		"ok      service: accepts the signature", "ok      encryption: WeChat Pay decrypts what is encrypted for it", "templates: 1",
		"card 478515832665, a phone number of 11 digits was decrypted in the token",
	} {
		assert.Contains(t, out.String(), line)
	}
	require.ErrorContains(t, run(t.Context(), []string{"-keys", t.TempDir(), "-token", "none"}, &out), "the token none")
}
