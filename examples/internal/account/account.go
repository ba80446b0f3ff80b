// Package account gives the examples a client: that of the merchant number whose key files -keys names, or,
// without that flag, one of the fake WeChat Pay in the same process.
package account

import (
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

// The files of a folder of keys, as the merchant platform names them; the last is for you to write.
const (
	PrivateKeyFile  = "apiclient_key.pem"
	CertificateFile = "apiclient_cert.pem"
	PublicKeyFile   = "pub_key.pem"   // not for merchant numbers with platform certificates
	APIv3KeyFile    = "apiv3_key.txt" // optional: the 32 characters set on the merchant platform
)

// Flags say whose client is wanted.
type Flags struct{ keys, mchID, publicKeyID, baseURL string }

// Register defines -keys, -mchid, -public-key-id and -base-url.
func Register(flags *flag.FlagSet) *Flags {
	f := &Flags{}
	flags.StringVar(&f.keys, "keys", "", "`folder` with "+strings.Join([]string{PrivateKeyFile, CertificateFile, PublicKeyFile, APIv3KeyFile}, ", ")+"; none: the fake WeChat Pay")
	flags.StringVar(&f.mchID, "mchid", "", "the service provider's merchant `number`")
	flags.StringVar(&f.publicKeyID, "public-key-id", "", "`id` of the WeChat Pay public key")
	flags.StringVar(&f.baseURL, "base-url", "", "`address` of the service (default WeChat Pay)")
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
	if !f.Real() && f.mchID+f.publicKeyID+f.baseURL != "" {
		return errors.New("-mchid, -public-key-id and -base-url go with -keys; without it the fake WeChat Pay is asked")
	}
	return nil
}

// Real reports whether -keys was given: what is done then, is done in earnest.
func (f *Flags) Real() bool { return f.keys != "" }

// Name says whose client it is and of which service.
func (f *Flags) Name() string {
	if !f.Real() {
		return "of the fake"
	}
	return strings.TrimSpace(f.mchID + " " + f.baseURL)
}

// Open returns the client's configuration. server is the fake behind it, nil with -keys; close it.
func (f *Flags) Open() (config membercard.Config, server *membercardtest.Server, err error) {
	if err := f.check(); err != nil {
		return config, nil, err
	}
	if !f.Real() {
		server = membercardtest.NewServer()
		return server.Config(), server, nil
	}
	config, err = f.read()
	return config, nil, err
}

func (f *Flags) read() (membercard.Config, error) {
	config := membercard.Config{MchID: f.mchID, PublicKeyID: f.publicKeyID, BaseURL: f.baseURL}
	data, err := f.file(PrivateKeyFile)
	if err != nil {
		return config, err
	}
	if config.PrivateKey, err = membercard.ParsePrivateKey(data); err != nil {
		return config, fmt.Errorf("%s: %w", PrivateKeyFile, err)
	}
	if data, err = f.file(CertificateFile); err != nil {
		return config, err
	}
	if config.Certificate, err = membercard.ParseCertificate(data); err != nil {
		return config, fmt.Errorf("%s: %w", CertificateFile, err)
	}
	config.CertificateSerial = membercard.CertificateSerial(config.Certificate)
	if data, err = f.file(PublicKeyFile); err == nil {
		if config.PublicKey, err = membercard.ParsePublicKey(data); err != nil {
			return config, fmt.Errorf("%s: %w", PublicKeyFile, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return config, err
	}
	if data, err = f.file(APIv3KeyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return config, err
	}
	config.APIv3Key = strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff")) // which some editors put in front
	return config, nil
}

func (f *Flags) file(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(f.keys, name)) //nolint:gosec // whose folder it is, the user said
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	if _, err := os.Stat(f.keys); err != nil {
		return nil, fmt.Errorf("-keys %s: there is no such folder", f.keys)
	}
	return nil, fmt.Errorf("%w; it comes from the merchant platform, account centre, API security (the fake program removes its own when it ends)", err)
}
