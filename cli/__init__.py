"""The command line of geopix2pix: a thin shell that parses, calls one library function and reports."""
