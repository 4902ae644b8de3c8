//! The pages at `/docs`: Swagger UI (Apache-2.0), from the archive that its crate embeds. Nothing outside is loaded.
//!
//! The archive's members are deflated already. They are sent as gzip: the same data between a gzip header and a trailer
//! (RFC 1952), so that nothing needs to be inflated here. Every browser takes gzip.

use axum::Router;
use axum::body::Body;
use axum::http::header;
use axum::http::response::Builder;
use axum::response::Response;
use axum::routing::get;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// Only this server's own files run, and only this server is asked. Swagger UI sets styles on its elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The folder in the archive starts with the version; members are found by how their names end.
const ASSETS: [(&str, &str); 2] = [("swagger-ui.css", "text/css"), ("swagger-ui-bundle.js", "text/javascript")];

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API</title>
<link rel="icon" href="data:,">
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/style.css">
</head>
<body>
<div id="api"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"#;

/// The page is dark where the reader's system is.
const START: &str = r##"const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: -1,
});
"##;

/// Leaves out what says nothing here: the choice of one server, and links between answers. Gives phones the room.
const STYLE: &str = "body { margin: 0 }
.swagger-ui .scheme-container, .swagger-ui .response-col_links { display: none }
.swagger-ui .info { margin: 32px 0 16px }
@media (max-width: 640px) {
  .swagger-ui .wrapper { padding: 0 10px }
  .swagger-ui .opblock-body pre { font-size: 12px; overflow-wrap: anywhere }
  .swagger-ui table.responses-table tbody tr td { padding: 8px 0 0 6px }
  .swagger-ui .responses-inner, .swagger-ui .opblock .opblock-section-header { padding: 8px }
  .swagger-ui .opblock-description-wrapper, .swagger-ui .opblock-section-request-body > div { padding: 8px }
}
";

/// Returns the routes of the pages.
pub fn routes() -> Router {
    let pages = Router::new()
        .route("/docs", get(async || page(PAGE, "text/html; charset=utf-8")))
        .route("/docs/style.css", get(async || page(STYLE, "text/css")))
        .route("/docs/start.js", get(async || page(START, "text/javascript")));
    ASSETS.into_iter().fold(pages, |router, (name, media_type)| {
        router.route(&format!("/docs/{name}"), get(async move || asset(name, media_type)))
    })
}

fn page(content: &'static str, media_type: &'static str) -> Response {
    respond(media_type).header(header::CACHE_CONTROL, "no-cache").body(content.into()).expect("constants are valid")
}

fn asset(name: &str, media_type: &'static str) -> Response {
    let content = member(SWAGGER_UI_VENDORED, &format!("/dist/{name}")).map(Member::gzip).unwrap_or_default();
    respond(media_type)
        .header(header::CONTENT_ENCODING, "gzip")
        .header(header::CACHE_CONTROL, "public, max-age=86400")
        .body(Body::from(content))
        .expect("constants are valid")
}

fn respond(media_type: &'static str) -> Builder {
    Response::builder()
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer")
}

/// A deflated member of a ZIP archive.
struct Member<'a> {
    deflated: &'a [u8],
    crc: [u8; 4],
    size: [u8; 4],
}

impl Member<'_> {
    fn gzip(self) -> Vec<u8> {
        // Deflate, no flags, no time, no hint, system unknown.
        const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        [&HEADER, self.deflated, &self.crc, &self.size].concat()
    }
}

/// Finds the first deflated member whose name ends in `suffix`, through the archive's central directory (APPNOTE 4.3).
fn member<'a>(archive: &'a [u8], suffix: &str) -> Option<Member<'a>> {
    let end = archive.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let mut at = number(archive, end + 16, 4)?;
    while archive.get(at..at + 4)? == b"PK\x01\x02" {
        let name_length = number(archive, at + 28, 2)?;
        let name = archive.get(at + 46..at + 46 + name_length)?;
        if name.ends_with(suffix.as_bytes()) && number(archive, at + 10, 2)? == 8 {
            let start = number(archive, at + 42, 4)?;
            let data = start + 30 + number(archive, start + 26, 2)? + number(archive, start + 28, 2)?;
            let deflated = archive.get(data..data + number(archive, at + 20, 4)?)?;
            let field = |offset: usize| archive.get(at + offset..at + offset + 4)?.try_into().ok();
            return Some(Member { deflated, crc: field(16)?, size: field(24)? });
        }
        at += 46 + name_length + number(archive, at + 30, 2)? + number(archive, at + 32, 2)?;
    }
    None
}

fn number(archive: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = archive.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_is_in_the_archive() {
        for (name, _) in ASSETS {
            let member = member(SWAGGER_UI_VENDORED, &format!("/dist/{name}")).expect(name);
            assert!(member.deflated.len() > 10_000, "{name}");
        }
    }

    #[test]
    fn pages_name_no_other_host() {
        for page in [PAGE, START, STYLE, POLICY] {
            assert!(!page.contains("//"), "{page}");
        }
    }

    #[test]
    fn a_broken_archive_has_no_members() {
        assert!(member(b"PK\x05\x06", "x").is_none());
        assert!(member(&[b"PK\x05\x06".as_slice(), &[255; 18]].concat(), "x").is_none());
    }
}
