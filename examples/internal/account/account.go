// Package account has the flags of the examples: the client is that of the merchant number whose key files -keys names. Without
// that flag it is one of the fake WeChat Pay in the same process.
package account

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// Flags say whose client is wanted.
type Flags struct {
	keys, baseURL, mchID, publicKeyID string
	brandEdition                      bool
}

// Register defines -keys, -base-url, -brand-edition, and what the folder may lack: -mchid and -public-key-id.
func Register(flags *flag.FlagSet) *Flags {
	f := &Flags{}
	flags.BoolVar(&f.brandEdition, "brand-edition", false, "as a brand that calls for itself, with the fake; with -keys the folder says so (brand_id.txt)")
	flags.StringVar(&f.keys, "keys", "", "`folder` with the key files, as LoadConfig reads them; none: the fake WeChat Pay")
	flags.StringVar(&f.baseURL, "base-url", "", "`address` of the service (default WeChat Pay)")
	flags.StringVar(&f.mchID, "mchid", "", "merchant `number`, with -keys (default that in the certificate)")
	flags.StringVar(&f.publicKeyID, "public-key-id", "", "`id` of the WeChat Pay public key, with -keys (default that in public_key_id.txt)")
	return f
}

// Parse parses the arguments and refuses what no flag asked for, and flags that would be ignored.
func (f *Flags) Parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return f.check()
}

func (f *Flags) check() error {
	if f.Real() && f.brandEdition {
		return errors.New("-brand-edition goes without -keys: a folder with brand_id.txt is a brand's")
	}
	if !f.Real() && f.baseURL+f.mchID+f.publicKeyID != "" {
		return errors.New("-base-url, -mchid and -public-key-id go with -keys; without it the fake WeChat Pay is asked")
	}
	return nil
}

// Real reports whether -keys was given: what is done then, is done for real.
func (f *Flags) Real() bool { return f.keys != "" }

// Name says whose client it is and of which service, wherever the keys are.
func Name(config membercard.Config) string {
	return strings.TrimSpace(cmp.Or(config.BrandID, config.MchID) + " " + config.BaseURL)
}

// Missing returns the key files that a folder with others of them does not have. Which of them are needed depends on the account.
func (f *Flags) Missing() (names []string) {
	all := []string{"apiclient_key.pem", "apiclient_cert.pem", "pub_key.pem", "public_key_id.txt", "apiv3_key.txt"}
	for _, name := range all {
		if _, err := os.Stat(filepath.Join(f.keys, name)); f.Real() && errors.Is(err, fs.ErrNotExist) {
			names = append(names, name)
		}
	}
	if len(names) == len(all) { // LoadConfig says so
		return nil
	}
	return names
}

// Open returns the client's configuration. server is the fake behind it, nil with -keys; close it.
func (f *Flags) Open() (config membercard.Config, server *membercardtest.Server, err error) {
	if err := f.check(); err != nil {
		return config, nil, err
	}
	if !f.Real() {
		var options []membercardtest.Option
		if f.brandEdition {
			options = append(options, membercardtest.WithBrandEdition())
		}
		server = membercardtest.NewServer(options...)
		return server.Config(), server, nil
	}
	config, err = membercard.LoadConfig(os.DirFS(f.keys))
	config.BaseURL, config.MchID, config.PublicKeyID = f.baseURL, cmp.Or(f.mchID, config.MchID), cmp.Or(f.publicKeyID, config.PublicKeyID)
	return config, nil, err
}
