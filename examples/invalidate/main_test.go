package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInvalidate(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-reason", "用户申请注销"}, strings.NewReader("478515832665\n"), &out))
	assert.Contains(t, out.String(), "Type its code: INVALID")
	for _, typed := range []string{"", "yes\n", "478515832666\n"} {
		require.ErrorContains(t, run(t.Context(), nil, strings.NewReader(typed), &out), "nothing was done")
	}
}
