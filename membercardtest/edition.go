package membercardtest

import (
	"crypto/rsa"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/wechatpay-cards/membercard"
)

// BrandID is the brand of a Server with [WithBrandEdition], and of templates that are added without one.
const BrandID = "1004"

// edition is for whom the service is: service providers (服务商), or brands (品牌商户) that call for themselves.
type edition struct {
	name        string
	scheme      string // of Authorization
	item        string // of the caller in it
	caller      string
	routes      func() []*route
	uploadPath  string
	digestField string
	events      string            // what event types begin with
	own         map[string]string // parameters that the pages do not have here, since they follow from the caller
	keyAlways   bool              // Wechatpay-Serial is checked on every call
	keyFile     string            // a file of the keys that names the caller; empty for none
	serial      string            // of the merchant API certificate
	merchantKey func() *rsa.PrivateKey
	keyID       string // of the WeChat Pay public key
	platformKey func() *rsa.PrivateKey
	apiv3Key    string
	configure   func(*membercard.Config)
}

var partnerEdition = edition{
	name:   "partner",
	scheme: "WECHATPAY2-SHA256-RSA2048", item: "mchid", caller: MchID, routes: routes,
	uploadPath: "/v3/marketing/favor/media/image-upload", digestField: "sha256", events: "BRAND_MEMBER_CARD_SP",
	serial: CertificateSerial, merchantKey: sync.OnceValue(newKey), keyID: PublicKeyID, platformKey: sync.OnceValue(newKey), apiv3Key: APIv3Key,
	configure: func(c *membercard.Config) { c.MchID = MchID },
}

var brandEdition = edition{
	name:   "brand",
	scheme: "WECHATPAY-BRAND-SHA256-RSA2048", item: "brand_id", caller: BrandID, routes: brandRoutes,
	uploadPath: "/brand/card-member/media/image-upload", digestField: "file_digest", events: "BRAND_MEMBER_CARD",
	own: map[string]string{"brand_id": BrandID}, keyAlways: true, keyFile: "brand_id.txt",
	serial: "5157F09EFDC096DE15EBE81A47057A7232F1B8B1", merchantKey: sync.OnceValue(newKey),
	keyID: "PUB_KEY_ID_03190000919120261122000000000001", platformKey: sync.OnceValue(newKey), apiv3Key: "brandbrandbrandbrandbrandbrand12",
	configure: func(c *membercard.Config) { c.BrandID = BrandID },
}

// WithBrandEdition makes the server the service as a brand calls it for itself, [BrandID]: under /brand/card-member, with the
// scheme WECHATPAY-BRAND-SHA256-RSA2048, with keys of its own, of which none works for a service provider. Its tables are those
// of the service providers' pages, by these rules: brand_id is no parameter, and Wechatpay-Serial is required and checked on every
// call. An invalidation of a template has no body. An upload has its own path and file_digest. There are no activities, imports
// by phone, pay-view tokens, security echo or certificates. The pages of this edition are known in part only: that its errors and
// limits are those of the service providers' is inferred, and so are the probes; what Wechatpay-Signature-Type an answer has is
// not known, here it is the brands' scheme.
func WithBrandEdition() Option { return func(s *Server) { s.edition = brandEdition } }

// notForBrands are the operations that the brand edition does not have, or of which no page is known.
var notForBrands = []membercard.Operation{
	membercard.OperationImportUserCardByPhone, membercard.OperationCreatePayViewToken,
	membercard.OperationCreateActivity, membercard.OperationListActivities, membercard.OperationGetActivity,
	membercard.OperationUpdateActivity, membercard.OperationTerminateActivity,
}

// brandRoutes derives the operations of the brand edition from the service providers'.
var brandRoutes = sync.OnceValue(func() []*route {
	partner := strings.Split("v3/brand/partner/card-member", "/")
	isOwn := func(p parameter) bool { return p.name == "brand_id" }
	var all []*route
	for _, r := range routes() {
		onCards := slices.Equal(r.path[:min(len(partner), len(r.path))], partner)
		if slices.Contains(notForBrands, r.operation) || !onCards && !r.upload {
			continue
		}
		derived := *r
		derived.path = append([]string{"brand", "card-member"}, r.path[min(len(partner), len(r.path)):]...)
		derived.query = slices.DeleteFunc(slices.Clone(r.query), isOwn)
		derived.body = slices.DeleteFunc(slices.Clone(r.body), isOwn)
		derived.serial = true
		all = append(all, &derived)
	}
	return all
})

// checkKeyID refuses a call that names another key than that of the edition, where it is checked always.
func (s *Server) checkKeyID(request *http.Request) *problem {
	named := request.Header.Get("Wechatpay-Serial")
	switch {
	case !s.edition.keyAlways, named == s.keyID:
		return nil
	case named == "":
		return invalidHeader("Wechatpay-Serial", "is missing; this edition requires it")
	}
	refused := invalidHeader("Wechatpay-Serial", "is not the id of the brand's WeChat Pay public key")
	refused.violation = named != s.first.keyID // which RotateKey took from a correct client
	return refused
}

// complete adds the parameters that follow from the caller to a request that was found valid.
func (e *edition) complete(in input, method string) input {
	for name, value := range e.own {
		if method == http.MethodGet {
			in.query[name] = value
			continue
		}
		if in.document == nil {
			in.document = document{}
		}
		in.document[name] = value
	}
	return in
}
