package membercard

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
)

// edition is who calls the service: a service provider (服务商) for brands, or a brand (品牌商户) for itself. Everything in
// which the two differ is here.
type edition struct {
	name         string                                           // for people
	identity     apiv3.Identity                                   // in Authorization
	field        string                                           // of Config, with the identity's value
	platform     string                                           // the pages on which its merchants and keys are set up
	paths        map[Operation]string                             // of the operations that the edition has
	brandID      string                                           // follows from the identity: it is not sent
	digest       string                                           // the name of the digest in an upload
	certificates bool                                             // WeChat Pay may sign with platform certificates
	checkRequest func(context.Context, *Client) (*request, error) // a call that every caller may make and that is answered with a signature
}

const basePath = "/v3/brand/partner/card-member"

// editionOf returns the edition of a configuration.
func editionOf(config *Config) (*edition, error) {
	switch {
	case config.MchID != "" && config.BrandID != "":
		return nil, errors.New("MchID and BrandID are both given: a service provider has MchID, a brand that calls for itself BrandID")
	case config.BrandID != "":
		return brandEdition(config)
	}
	return partnerEdition(config)
}

// partnerEdition is that of service providers.
func partnerEdition(config *Config) (*edition, error) {
	e := &edition{
		name: "service-provider", identity: apiv3.Identity{Scheme: apiv3.Scheme, Name: "mchid", Value: config.MchID}, field: "MchID", platform: "merchant platform",
		paths: map[Operation]string{}, digest: "sha256", certificates: true,
		checkRequest: func(_ context.Context, c *Client) (*request, error) { return c.keys.downloadRequest(), nil },
	}
	for _, op := range operations {
		e.paths[op.name] = op.path
	}
	return e, checkID("MchID", config.MchID, "the service provider's merchant number, which is also the common name in apiclient_cert.pem; a brand that calls for itself has BrandID")
}

// brandEdition is that of brands that call for themselves. It has the operations on cards under other paths, and none of the
// others.
func brandEdition(config *Config) (*edition, error) {
	e := &edition{
		name: "brand", identity: apiv3.Identity{Scheme: apiv3.BrandScheme, Name: "brand_id", Value: config.BrandID}, field: "BrandID", platform: "brand platform",
		paths: map[Operation]string{OperationUploadImage: "/brand/card-member/media/image-upload"}, digest: "file_digest",
		brandID: config.BrandID,
		checkRequest: func(ctx context.Context, c *Client) (*request, error) {
			return c.build(ctx, listCards.operation, reflect.ValueOf(ListCardsRequest{Limit: 1}), false)
		},
	}
	for _, op := range operations {
		if path, ok := strings.CutPrefix(op.path, basePath); ok && !slices.Contains(notForBrands, op.name) {
			e.paths[op.name] = "/brand/card-member" + path
		}
	}
	switch {
	case config.PreferCertificates:
		return nil, errors.New("PreferCertificates is set, but there are no platform certificates for brands; leave it out")
	case config.PublicKey == nil:
		return nil, errors.New("PublicKey is missing: a brand has a WeChat Pay public key of its own, pub_key.pem of the brand platform (品牌经营平台)")
	}
	return e, checkID("BrandID", config.BrandID, "the brand's id")
}

// notForBrands are the operations on cards that the brand edition does not have, or of which no page is known.
var notForBrands = []Operation{
	OperationImportUserCardByPhone, OperationCreatePayViewToken,
	OperationCreateActivity, OperationListActivities, OperationGetActivity, OperationUpdateActivity, OperationTerminateActivity,
}

// path returns where an operation is, or an error where the edition has none.
func (e *edition) path(op *operation) (string, error) {
	path, has := e.paths[op.name]
	if !has {
		return "", fmt.Errorf("the %s edition has no %s", e.name, op.name)
	}
	return path, nil
}

// omits reports whether a parameter is not sent.
func (e *edition) omits(p parameter) bool { return e.brandID != "" && p.name == "brand_id" }

// checkBrand refuses the request for another brand.
func (e *edition) checkBrand(p parameter, value string) error {
	if value != "" && value != e.brandID {
		return fmt.Errorf("%s (%s) is not that of the client: leave it empty", p.field, p.name)
	}
	return nil
}
