//! How to put it to use, a page each; every example is a test.

macro_rules! pages {
    ($($page:ident: $file:literal,)*) => {
        $(
            #[doc = include_str!(concat!("guide/", $file))]
            pub mod $page {}
        )*
    };
}

pages! {
    order: "order.md",
    errors: "errors.md",
    axum: "axum.md",
    tuning: "tuning.md",
    troubleshooting: "troubleshooting.md",
    limitations: "limitations.md",
    python: "python.md",
}
