"""What gateways, proxies and login pages send in CVAT's place, as real programs send it."""

from __future__ import annotations

from dataclasses import dataclass

from asynccvat.core.wire.responders import Responder


@dataclass(frozen=True)
class Page:
    """One response of something that stands before CVAT."""

    label: str
    status: int
    server: str
    body: str
    kind: Responder
    name: str
    more: tuple[tuple[str, str], ...] = ()
    content_type: str = "text/html"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        server = (("Server", self.server),) if self.server else ()
        return (*server, ("Content-Type", self.content_type), *self.more)


def nginx(status: str, extra: str = "") -> str:
    title = f"<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n"
    return (
        f"{title}<center><h1>{'400 Bad Request' if extra else status}</h1></center>\r\n"
        + (f"<center>{extra}</center>\r\n" if extra else "")
        + "<hr><center>nginx/1.24.0</center>\r\n</body>\r\n</html>\r\n"
    )


def squid(error: str, title: str, words: str) -> str:
    return (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN">\n<html><head>\n'
        f"<title>ERROR: {title}</title>\n</head><body id={error}>\n"
        f'<div id="titles">\n<h1>ERROR</h1>\n<h2>{title}</h2>\n</div>\n<hr>\n'
        f'<p>{words}</p>\n<hr>\n<div id="footer">\n'
        "<p>Generated Mon, 30 Nov 2026 02:00:00 GMT by proxy (squid/5.7)</p>\n"
        f"<!-- {error} -->\n</div>\n</body></html>\n"
    )


CLOUDFLARE_CHALLENGE = (
    '<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>'
    '<meta http-equiv="refresh" content="360"></head><body><div class="main-wrapper">'
    "<noscript>Enable JavaScript and cookies to continue</noscript></div>"
    "<script>(function(){window._cf_chl_opt={cvId:'3'}})();</script></body></html>"
)
CLOUDFLARE_BLOCK = (
    "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>"
    "<h1>Sorry, you have been blocked</h1><p>Cloudflare Ray ID: 8f</p></body></html>"
)
OAUTH2_PROXY = (
    '<!DOCTYPE html>\n<html lang="en" charset="utf-8">\n<head>\n<title>Sign In</title>\n</head>\n'
    '<body>\n<form method="GET" action="/oauth2/start">\n<input type="hidden" name="rd" '
    'value="/api/tasks">\n<button type="submit">Sign in with OpenID Connect</button>\n</form>\n'
    "</body>\n</html>"
)
LOGIN_FORM = (
    "<!DOCTYPE html><html><head><title>University</title></head><body><form method=post>"
    '<input name=user><input name="pw" type="password"></form></body></html>'
)
APACHE_401 = (
    '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n<title>401 Unauthorized'
    "</title>\n</head><body>\n<h1>Unauthorized</h1>\n<p>This server could not verify that you\n"
    "are authorized to access the document\nrequested.</p>\n<hr>\n"
    "<address>Apache/2.4.57 (Debian) Server at cvat.example.com Port 443</address>\n</body></html>"
)
APACHE_503 = (
    '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n<title>503 Service '
    "Unavailable</title>\n</head><body>\n<h1>Service Unavailable</h1>\n<p>The server is "
    "temporarily unable to service your\nrequest.</p>\n<hr>\n<address>Apache/2.4.57 (Debian) "
    "Server at cvat.example.com Port 443</address>\n</body></html>"
)
IIS_401 = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"><html><head><title>401 - '
    "Unauthorized: Access is denied due to invalid credentials.</title></head><body>"
    '<div id="header"><h1>Server Error</h1></div></body></html>'
)
IIS_CERTIFICATE = (
    "<!DOCTYPE html><html><head><title>IIS 10.0 Detailed Error - 403.7 - Forbidden</title></head>"
    "<body><h3>HTTP Error 403.7 - Forbidden</h3><h4>The page you are attempting to access requires "
    "your browser to have a SSL client certificate</h4></body></html>"
)
ALB = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "</body>\r\n</html>\r\n"
)
HAPROXY = (
    "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request."
    "\n</body></html>\n"
)
CVAT_INTERFACE = (
    '<!doctype html><html lang="en"><head><meta charset="UTF-8"/><title>Computer Vision '
    'Annotation Tool</title></head><body><div id="root"></div></body></html>'
)

PAGES = (
    Page(
        "nginx Basic",
        401,
        "nginx/1.24.0",
        nginx("401 Authorization Required"),
        Responder.ASKS_TO_LOG_IN,
        "nginx",
        (("WWW-Authenticate", 'Basic realm="Lab"'),),
    ),
    Page("nginx 403", 403, "nginx", nginx("403 Forbidden"), Responder.GATEWAY, "nginx"),
    Page("nginx 502", 502, "nginx", nginx("502 Bad Gateway"), Responder.GATEWAY, "nginx"),
    Page("nginx 504", 504, "nginx", nginx("504 Gateway Time-out"), Responder.GATEWAY, "nginx"),
    Page(
        "nginx client certificate",
        400,
        "nginx/1.24.0",
        nginx("400 No required SSL certificate was sent", "No required SSL certificate was sent"),
        Responder.WANTS_CERTIFICATE,
        "nginx",
    ),
    Page(
        "nginx bad certificate",
        400,
        "nginx/1.24.0",
        nginx("400 The SSL certificate error", "The SSL certificate error"),
        Responder.WANTS_CERTIFICATE,
        "nginx",
    ),
    Page(
        "ingress 404",
        404,
        "",
        nginx("404 Not Found").replace("/1.24.0", ""),
        Responder.GATEWAY,
        "nginx",
    ),
    Page(
        "Apache Basic",
        401,
        "Apache/2.4.57 (Debian)",
        APACHE_401,
        Responder.ASKS_TO_LOG_IN,
        "Apache",
        (("WWW-Authenticate", 'Basic realm="intranet"'),),
    ),
    Page("Apache 503", 503, "Apache/2.4.57 (Debian)", APACHE_503, Responder.GATEWAY, "Apache"),
    Page(
        "IIS of Windows",
        401,
        "Microsoft-IIS/10.0",
        IIS_401,
        Responder.ASKS_TO_LOG_IN,
        "IIS",
        (("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", "NTLM")),
    ),
    Page(
        "IIS client certificate",
        403,
        "Microsoft-IIS/10.0",
        IIS_CERTIFICATE,
        Responder.WANTS_CERTIFICATE,
        "IIS",
    ),
    Page(
        "Squid 407",
        407,
        "squid/5.7",
        squid("ERR_CACHE_ACCESS_DENIED", "Cache Access Denied", "Sorry, you are not allowed."),
        Responder.PROXY,
        "Squid",
        (
            ("Proxy-Authenticate", 'Basic realm="Squid"'),
            ("X-Squid-Error", "ERR_CACHE_ACCESS_DENIED 0"),
        ),
    ),
    Page(
        "Squid 400",
        400,
        "squid/5.7",
        squid("ERR_INVALID_URL", "The requested URL could not be retrieved", "Invalid URL"),
        Responder.PROXY,
        "Squid",
        (("X-Squid-Error", "ERR_INVALID_URL 0"),),
    ),
    Page(
        "Squid 403",
        403,
        "squid/5.7",
        squid("ERR_ACCESS_DENIED", "The requested URL could not be retrieved", "Access Denied."),
        Responder.PROXY,
        "Squid",
        (("X-Squid-Error", "ERR_ACCESS_DENIED 0"),),
    ),
    Page(
        "Squid 503 without headers",
        503,
        "",
        squid("ERR_DNS_FAIL", "The requested URL could not be retrieved", "No DNS records"),
        Responder.PROXY,
        "Squid",
    ),
    Page(
        "Zscaler",
        403,
        "Zscaler/6.2",
        "<html><body>Internet Security by Zscaler</body></html>",
        Responder.PROXY,
        "Zscaler",
    ),
    Page(
        "Cloudflare challenge",
        403,
        "cloudflare",
        CLOUDFLARE_CHALLENGE,
        Responder.CHALLENGE,
        "Cloudflare",
        (("cf-mitigated", "challenge"), ("CF-RAY", "8f-FRA")),
    ),
    Page(
        "Cloudflare challenge of old",
        503,
        "cloudflare",
        CLOUDFLARE_CHALLENGE,
        Responder.CHALLENGE,
        "Cloudflare",
    ),
    Page(
        "Cloudflare block", 403, "cloudflare", CLOUDFLARE_BLOCK, Responder.CHALLENGE, "Cloudflare"
    ),
    Page(
        "Cloudflare 522",
        522,
        "cloudflare",
        "error code: 522",
        Responder.GATEWAY,
        "Cloudflare",
        content_type="text/plain; charset=UTF-8",
    ),
    Page(
        "AWS WAF challenge",
        202,
        "awselb/2.0",
        "",
        Responder.CHALLENGE,
        "AWS WAF",
        (("x-amzn-waf-action", "challenge"),),
    ),
    Page(
        "AWS ALB 502",
        502,
        "awselb/2.0",
        ALB.format("502 Bad Gateway"),
        Responder.GATEWAY,
        "AWS load balancer",
    ),
    Page(
        "AWS ALB 403",
        403,
        "awselb/2.0",
        ALB.format("403 Forbidden"),
        Responder.GATEWAY,
        "AWS load balancer",
    ),
    Page(
        "CloudFront",
        403,
        "CloudFront",
        "<HTML><HEAD><TITLE>ERROR: The request could not be "
        "satisfied</TITLE></HEAD><BODY><H1>403 ERROR</H1>Generated by cloudfront</BODY></HTML>",
        Responder.GATEWAY,
        "CloudFront",
    ),
    Page(
        "Google",
        502,
        "",
        "<!DOCTYPE html><html lang=en><title>Error 502 (Server Error)!!1</title><p><b>502.</b>",
        Responder.GATEWAY,
        "Google's load balancer",
    ),
    Page(
        "Azure gateway",
        403,
        "Microsoft-Azure-Application-Gateway/v2",
        ALB.format("403 Forbidden"),
        Responder.GATEWAY,
        "Azure Application Gateway",
    ),
    Page("HAProxy 503", 503, "", HAPROXY, Responder.GATEWAY, "HAProxy"),
    Page(
        "Traefik 404",
        404,
        "",
        "404 page not found\n",
        Responder.GATEWAY,
        "",
        content_type="text/plain; charset=utf-8",
    ),
    Page(
        "Traefik 502",
        502,
        "",
        "Bad Gateway",
        Responder.GATEWAY,
        "",
        content_type="text/plain; charset=utf-8",
    ),
    Page(
        "Envoy",
        503,
        "envoy",
        "upstream connect error or disconnect/reset before headers. reset "
        "reason: connection failure",
        Responder.GATEWAY,
        "Envoy",
        content_type="text/plain",
    ),
    Page(
        "Varnish",
        503,
        "Varnish",
        "<!DOCTYPE html><html><head><title>503 Backend fetch failed"
        "</title></head><body><h3>Guru Meditation:</h3></body></html>",
        Responder.GATEWAY,
        "Varnish",
    ),
    Page(
        "Varnish, by Via alone",
        503,
        "",
        "<html><body><h1>Service Unavailable</h1></body></html>",
        Responder.GATEWAY,
        "Varnish",
        (("Via", "1.1 proxy (squid/5.7), 1.1 cache-1 (Varnish/7.1)"),),
    ),
    Page(
        "Imperva",
        403,
        "",
        '<html><head><script src="/_Incapsula_Resource?a=1"></script></head></html>',
        Responder.CHALLENGE,
        "Imperva",
    ),
    Page(
        "AWS API Gateway",
        403,
        "",
        '{"message":"Missing Authentication Token"}',
        Responder.GATEWAY,
        "AWS API Gateway",
        (("x-amzn-ErrorType", "MissingAuthenticationTokenException"),),
        content_type="application/json",
    ),
    Page(
        "Kong 403",
        403,
        "kong/3.4.2",
        '{"message":"You cannot consume this service"}',
        Responder.GATEWAY,
        "Kong",
        content_type="application/json; charset=utf-8",
    ),
    Page(
        "an API gateway without a name",
        403,
        "",
        '{"error":"forbidden"}',
        Responder.GATEWAY,
        "",
        content_type="application/json",
    ),
    Page(
        "a captive portal",
        511,
        "",
        "<html><title>Network Authentication Required</title></html>",
        Responder.LOGIN_PAGE,
        "",
    ),
    Page("oauth2-proxy 403", 403, "", OAUTH2_PROXY, Responder.LOGIN_PAGE, ""),
    Page(
        "oauth2-proxy 401",
        401,
        "",
        "Unauthorized\n",
        Responder.ASKS_TO_LOG_IN,
        "",
        content_type="text/plain",
    ),
    Page("a login form", 200, "Apache", LOGIN_FORM, Responder.LOGIN_PAGE, "Apache"),
    Page("CVAT's interface", 200, "nginx", CVAT_INTERFACE, Responder.USER_INTERFACE, "nginx"),
)
