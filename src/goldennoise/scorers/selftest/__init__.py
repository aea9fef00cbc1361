"""Whether scorers score as they should, on drawn images that come with the package."""
