from .main import main

if __name__ == "__main__":  # the processes that train together import this module, too
    main()
