"""From a sweep file to units: what will run, under which ids. Pure, but for reading the file."""
