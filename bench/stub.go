package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// withoutRSA builds and runs this program again with the standard library's RSA signing and verification
// replaced by nothing, for all contenders alike: what is left is what they add. The replacement exists
// only in that build.
func withoutRSA(args ...string) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "crypto", "rsa", "fips.go")
	source, err := os.ReadFile(original)
	if err != nil {
		return err
	}
	for signature, instead := range map[string]string{
		`(?m)^func SignPKCS1v15\(.*\{$`:   "\n\tif priv != nil {\n\t\treturn make([]byte, priv.Size()), nil\n\t}",
		`(?m)^func VerifyPKCS1v15\(.*\{$`: "\n\tif pub != nil {\n\t\treturn nil\n\t}",
	} {
		pattern := regexp.MustCompile(signature)
		if len(pattern.FindAll(source, -1)) != 1 {
			return fmt.Errorf("%s is not what this program knows", original)
		}
		source = pattern.ReplaceAllFunc(source, func(found []byte) []byte { return append(slices.Clone(found), instead...) })
	}
	replaced := filepath.Join(dir, "fips.go")
	if err := os.WriteFile(replaced, source, 0o600); err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: replaced}})
	if err != nil {
		return err
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return err
	}
	program := filepath.Join(dir, "bench")
	build := exec.Command("go", "build", "-overlay", overlayFile, "-o", program, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	run := exec.Command(program, args...)
	run.Stdout, run.Stderr = os.Stdout, os.Stderr
	return run.Run()
}
