"""A run's report as one HTML file that needs no network, with a viewer of its questions.

`page` puts it together, and `viewer` packs what the viewer shows. What they are filled into lies beside them:
`page.html`, `page.css` and `viewer.js`.
"""
